import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** JSIGR_CHROMIUM, else what PATH has; undefined where there is none. A path that was given and leads nowhere is an error when it is used. */
export const chromium = process.env.JSIGR_CHROMIUM || inPath(['chromium', 'chromium-browser', 'google-chrome']);

function inPath(names: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a browser makes of a page. */
export interface Seen {
  /** The document after loading. */
  readonly dom: string;
  /** Messages of the console: what the page's policy refused is one. */
  readonly console: readonly string[];
}

/** Opens a file in a browser without a window and with a profile of its own, which is gone afterwards. */
export async function open(file: string): Promise<Seen> {
  const profile = mkdtempSync(join(tmpdir(), 'jsigr-chromium-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr', '--dump-dom'];
  try {
    return await new Promise((resolve, reject) => {
      execFile(
        chromium ?? 'chromium',
        [...flags, `--user-data-dir=${profile}`, pathToFileURL(file).href],
        { timeout: 45_000, maxBuffer: 64 * 1024 * 1024 },
        (error, dom, stderr) => {
          if (error) reject(error);
          else resolve({ dom, console: stderr.split('\n').filter((line) => /:CONSOLE[:(\]]/.test(line)) });
        },
      );
    });
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
