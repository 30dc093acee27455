import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

/** A Secret's files in a folder as a kubelet has them: links through `..data`, which is turned to all new ones at once. @param files by name */
export function writeSecret(folder: string, files: Readonly<Record<string, Buffer>>): void {
  mkdirSync(folder, { recursive: true });
  const made = mkdtempSync(join(folder, '..version-'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(made, name), bytes, { mode: 0o400 });
  const [current, next] = [join(folder, '..data'), join(folder, '..data_tmp')];
  const old = existsSync(current) ? join(folder, readlinkSync(current)) : undefined;
  symlinkSync(basename(made), next);
  renameSync(next, current);
  for (const name of Object.keys(files))
    if (!existsSync(join(folder, name))) symlinkSync(join('..data', name), join(folder, name));
  if (old) rmSync(old, { recursive: true });
}
