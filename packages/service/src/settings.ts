/** Settings that came as text over the contract: `true` and `false` are booleans, decimal numbers are numbers, the rest stays text. */
export function settingsFromText(
  settings: Readonly<Record<string, string>>,
): Record<string, boolean | number | string> {
  return Object.fromEntries(Object.entries(settings).map(([name, text]) => [name, typed(text)]));
}

function typed(text: string): boolean | number | string {
  if (text === 'true' || text === 'false') return text === 'true';
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}
