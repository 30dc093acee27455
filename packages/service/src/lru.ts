/** The last few things that were used, by name; what falls out is given to `onEvict`. */
export class Lru<T> {
  readonly #entries = new Map<string, T>();
  readonly #capacity: number;
  readonly #onEvict: (value: T) => void;

  constructor(capacity: number, onEvict: (value: T) => void = () => {}) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  get(key: string): T | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    for (const [oldest, evicted] of this.#entries) {
      if (this.#entries.size <= this.#capacity) return;
      this.#entries.delete(oldest);
      this.#onEvict(evicted);
    }
  }
}
