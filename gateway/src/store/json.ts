/**
 * Text for a JSON column. Protobuf's JSON writes what is no number as text ("NaN", "Infinity"), and its reader takes that back;
 * JSON.stringify alone would make it null, and null would be read as 0.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === 'number' && !Number.isFinite(each) ? String(each) : each));
}
