import { invalidArgument } from '@jsigr/service/client';

/** What YAML and JSON are made of. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** An example of a whole number stands for those from 0 up to it: this one for the contract's `uint32`. */
export const WHOLE = 0xffff_ffff;
/** An example of any number. */
export const NUMBER = 0.5;
/** An example of a mapping of names that are not known here, to what is text in the end: numbers, text, true and false. */
export const SETTINGS = { any: '' };

/**
 * Checks every type against an example: what is of another one would be taken for absent, or for something else (`flip: no` is text, which is true).
 * @throws JsigrError INVALID_ARGUMENT naming the field
 */
export function checkLike(given: Json, like: Json, field: string): void {
  if (isObject(like)) checkMapping(given, like, field);
  else if (Array.isArray(like)) checkList(given, like, field);
  else if (typeof like === 'number') checkNumber(given, like, field);
  else if (typeof given !== typeof like)
    throw wrong(
      field,
      typeof like === 'boolean' ? 'true or false' : 'text (in quotes, if it looks like a number)',
      given,
    );
}

function checkMapping(given: Json, like: JsonObject, field: string): void {
  const known = Object.keys(like);
  const settings = 'any' in like;
  if (!isObject(given))
    throw wrong(field, settings ? 'a mapping of settings' : `a mapping of ${known.join(', ')}`, given);
  for (const [name, value] of Object.entries(given)) {
    const path = `${field}.${name}`;
    if (settings) checkSetting(value, path);
    else if (!Object.hasOwn(like, name)) throw invalidArgument(path, `is not known; known: ${known.join(', ')}`);
    else checkLike(value, like[name] ?? null, path);
  }
}

function checkSetting(given: Json, field: string): void {
  if (!['string', 'number', 'boolean'].includes(typeof given))
    throw wrong(field, 'a number, text, true or false', given);
}

function checkList(given: Json, [like = null]: readonly Json[], field: string): void {
  if (!Array.isArray(given)) throw wrong(field, 'a list', given);
  given.forEach((item: Json, i) => {
    checkLike(item, like, `${field}[${i}]`);
  });
}

function checkNumber(given: Json, like: number, field: string): void {
  const isWhole = Number.isInteger(like);
  const fits = isWhole
    ? Number.isInteger(given) && Number(given) >= 0 && Number(given) <= like
    : Number.isFinite(given);
  if (!fits) throw wrong(field, isWhole ? `a whole number in 0..${like}` : 'a number', given);
}

function wrong(field: string, what: string, given: Json): Error {
  const shown = typeof given === 'number' ? String(given) : JSON.stringify(given);
  return invalidArgument(field, `must be ${what}, not ${shown.slice(0, 80)}`);
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
