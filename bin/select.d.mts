/** How often a version on trial is started before the previous one is put in force again. */
export declare const TRIAL_STARTS: number

/** The folder of the version to start, after putting the previous one in force where it has come to that. */
export declare const choose: (
  home: string,
  alive?: (pid: number) => boolean
) => { readonly folder: string; readonly pointer: { readonly folder: string } }

/** Starts the program of an installation: the one that this file is a part of. */
export declare const select: (program: string, home?: string) => Promise<void>
