/** What Go calls the system that Node calls `platform`, and the processor that it calls `arch`. */
export declare const goos: (platform: string) => string
export declare const goarch: (arch: string) => string

/** The command line with secrets blanked, or undefined when it holds none. */
export declare const withoutSecrets: (args: ReadonlyArray<string>) => ReadonlyArray<string> | undefined

/** Where the code that V8 compiled from a program is kept. */
export declare const codeFile: (file: string, source: string) => string

/** Answers `version`, or loads the program's bundled file. */
export declare const launch: (program: string) => Promise<void>

/** What V8 is told once a program is loaded. */
export declare const v8Flags: string

/** What V8 goes by before that. */
export declare const v8Defaults: string
