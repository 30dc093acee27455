import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const FLUSH_MS = 5000;

/**
 * Keeps the code that V8 compiles, in the user's cache folder, for this process and those that it starts: a gateway of 2,000 modules is up half a second
 * earlier. To be called before the rest of a program is imported. NODE_COMPILE_CACHE names another folder, NODE_DISABLE_COMPILE_CACHE=1 keeps nothing;
 * a folder that cannot be written is done without.
 */
export function cacheCompiledCode(): void {
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
  if (NODE_COMPILE_CACHE || NODE_DISABLE_COMPILE_CACHE) return;
  const cache = XDG_CACHE_HOME || cacheOfHome();
  if (cache === undefined) return;
  const folder = join(cache, 'jsigr', 'compiled');
  const { directory } = module.enableCompileCache(folder);
  if (directory === undefined) return;
  process.env.NODE_COMPILE_CACHE = folder;
  // Node writes it down when a process ends, which one that is killed does not.
  setTimeout(() => module.flushCompileCache(), FLUSH_MS).unref();
}

function cacheOfHome(): string | undefined {
  try {
    return join(homedir(), '.cache');
  } catch {
    return undefined; // a user without an entry in the list of users, and without HOME
  }
}
