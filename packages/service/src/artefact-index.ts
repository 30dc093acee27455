import * as z from 'zod';
import { artefactDigest } from './artefact-digest.ts';
import type { ArtefactFileInfo, ArtefactKind } from './artefacts.ts';
import { notFound, outOfRange } from './errors.ts';
import { corrupt } from './storage-errors.ts';

const indexSchema = z.strictObject({
  files: z.array(z.strictObject({ path: z.string(), sizeBytes: z.int().min(0), sha256: z.string() })),
});

/** What a store writes last beside an artefact's files: which there are. */
export function encodeIndex(files: readonly ArtefactFileInfo[]): Buffer {
  return Buffer.from(JSON.stringify({ files }));
}

/** @param name of the index in errors. @throws JsigrError ARTEFACT_CORRUPT when it is no index, or another artefact's. */
export function decodeIndex(text: string, kind: ArtefactKind, digest: string, name: string): ArtefactFileInfo[] {
  let files: ArtefactFileInfo[];
  try {
    files = indexSchema.parse(JSON.parse(text)).files;
  } catch {
    throw corrupt(`${kind}/${digest}`, name);
  }
  if (artefactDigest(files) !== digest) throw corrupt(`${kind}/${digest}`, name);
  return files;
}

export function artefactNotFound(kind: ArtefactKind, digest: string) {
  return notFound(kind.replace(/s$/, ''), `${kind}/${digest}`);
}

/** @throws JsigrError NOT_FOUND, listing the files that there are. */
export function fileOf(
  kind: ArtefactKind,
  digest: string,
  files: readonly ArtefactFileInfo[],
  path: string,
): ArtefactFileInfo {
  const found = files.find((file) => file.path === path);
  if (found) return found;
  throw notFound('file', `${kind}/${digest}/${path}`, `it has ${files.map((file) => file.path).join(', ')}`);
}

export function checkOffset(offset: number, { path, sizeBytes }: ArtefactFileInfo): void {
  if (!Number.isInteger(offset) || offset < 0 || offset > sizeBytes)
    throw outOfRange('readOffset', `${offset} is not in 0..${sizeBytes}, the size of ${path}`);
}
