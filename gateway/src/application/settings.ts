import { settingsFromText } from '@jsigr/service';
import type * as z from 'zod';
import type { Violations } from './violations.ts';

const MOST_CHARACTERS = 200;

/** Settings that came as text, against the schema of the registry's row: a violation for each that is unknown or out of its range. */
export function checkSettings(
  schema: z.ZodObject,
  settings: Readonly<Record<string, string>>,
  field: string,
  violations: Violations,
): void {
  for (const [name, text] of Object.entries(settings)) violations.text(`${field}.${name}`, text, MOST_CHARACTERS);
  const parsed = schema.safeParse(settingsFromText(settings));
  if (parsed.success) return;
  const known = Object.keys(schema.shape).join(', ') || 'none';
  for (const issue of parsed.error.issues) {
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys) violations.add(`${field}.${key}`, `is not a setting; known: ${known}`);
    else violations.add([field, ...issue.path.map(String)].join('.'), givenAnd(issue, settings));
  }
}

function givenAnd({ path, message }: z.core.$ZodIssue, settings: Readonly<Record<string, string>>): string {
  const given = settings[String(path[0])];
  return given === undefined ? message : `${given} given: ${message}`;
}
