import type { ArtefactKind, ArtefactStore } from '@jsigr/service';

/** The bytes of an artefact's file from an offset on, each chunk with its place. @throws JsigrError NOT_FOUND, OUT_OF_RANGE */
export async function* fileChunks(
  artefacts: ArtefactStore,
  kind: ArtefactKind,
  digest: string,
  path: string,
  readOffset: number,
): AsyncGenerator<{ offset: number; data: Buffer }> {
  let offset = readOffset;
  for await (const data of artefacts.read(kind, digest, path, readOffset)) {
    yield { offset, data };
    offset += data.length;
  }
}
