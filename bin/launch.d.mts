/** The command line with secrets blanked, or undefined when it holds none. */
export declare const withoutSecrets: (args: ReadonlyArray<string>) => ReadonlyArray<string> | undefined

/** Answers `version`, or loads the program's bundled file. */
export declare const launch: (program: string) => Promise<void>
