import { createHash } from 'node:crypto';
import type { ArtefactEntry, ArtefactFileInfo, Files } from './artefacts.ts';
import { invalidArgument } from './errors.ts';

const MAX_FILES = 1000;
const MAX_PATH = 200;
const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const DIGEST = /^[0-9a-f]{64}$/;

/** Path, size and sha256 of each file, sorted by path. @throws JsigrError INVALID_ARGUMENT for a path that could leave the folder. */
export function describeFiles(files: Files): ArtefactFileInfo[] {
  const paths = Object.keys(files).sort(byCodeUnits);
  if (paths.length === 0 || paths.length > MAX_FILES)
    throw invalidArgument('files', `an artefact has 1 to ${MAX_FILES} files, not ${paths.length}`);
  return paths.map((path) => {
    const bytes = files[checkPath(path)] ?? new Uint8Array();
    return { path, sizeBytes: bytes.length, sha256: sha256(bytes) };
  });
}

/** Name of an artefact: sha256 over its sorted lines `<sha256>  <path>\n` (as `sha256sum` prints them). */
export function artefactDigest(files: readonly ArtefactFileInfo[]): string {
  const sorted = [...files].sort((a, b) => byCodeUnits(a.path, b.path));
  return sha256(Buffer.from(sorted.map((file) => `${file.sha256}  ${file.path}\n`).join('')));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Relative, of plain segments, no segment beginning with a dot. */
export function checkPath(path: string): string {
  if (path.length <= MAX_PATH && path.split('/').every((segment) => SEGMENT.test(segment))) return path;
  throw invalidArgument(
    'path',
    `${JSON.stringify(path.slice(0, MAX_PATH))} is not a path of letters, digits, '_', '-', '.' and '/', at most ${MAX_PATH} characters`,
  );
}

export function checkDigest(digest: string): string {
  if (isDigest(digest)) return digest;
  throw invalidArgument('digest', `${JSON.stringify(digest.slice(0, 80))} is not 64 lower-case hexadecimal digits`);
}

export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Those of one moment by their digests, so that the order is always the same. */
export function newestFirst(a: ArtefactEntry, b: ArtefactEntry): number {
  return b.createTime.getTime() - a.createTime.getTime() || byCodeUnits(a.digest, b.digest);
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
