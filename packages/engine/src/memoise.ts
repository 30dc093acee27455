/**
 * The same arguments (by identity) give the same value, for as long as the arguments live. Traced functions are made this way,
 * because the engine caches what it compiled by the identity of the function.
 */
export function memoise<Keys extends readonly object[], Value>(
  make: (...keys: Keys) => Value,
): (...keys: Keys) => Value {
  interface Level {
    readonly deeper: WeakMap<object, Level>;
    value?: { readonly made: Value };
  }
  const root: Level = { deeper: new WeakMap() };
  return (...keys) => {
    let level = root;
    for (const key of keys) {
      let next = level.deeper.get(key);
      if (!next) {
        next = { deeper: new WeakMap() };
        level.deeper.set(key, next);
      }
      level = next;
    }
    level.value ??= { made: make(...keys) };
    return level.value.made;
  };
}
