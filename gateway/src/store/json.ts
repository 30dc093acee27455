/**
 * Text for a JSON column. Protobuf's JSON writes what is no number as text ("NaN", "Infinity"), and its reader takes that back;
 * JSON.stringify alone would make it null, and null would be read as 0.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (typeof each === 'string') return storableText(each);
    return typeof each === 'number' && !Number.isFinite(each) ? String(each) : each;
  });
}

/** PostgreSQL keeps neither NUL nor half of a surrogate pair: what a foreign server or file says may hold both, and must not keep a run from ending. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}
