/** `a,b` as a list; empty text is an empty one. */
export function listFromText(text: string): string[] {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean);
}
