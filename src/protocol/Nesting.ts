/** How deep a value of JSON goes. What walks or writes nested JSON takes as much stack as it has levels. */

/** Whether it nests no deeper than so many objects and arrays. */
export const isWithin = (value: unknown, levels: number): boolean =>
  typeof value !== "object" ||
  value === null ||
  (levels > 0 && Object.values(value).every((member) => isWithin(member, levels - 1)))
