/** Problems of the source tree below `root`/src, one sentence each; empty when the house stands. */
export declare const check: (root: string) => ReadonlyArray<string>
