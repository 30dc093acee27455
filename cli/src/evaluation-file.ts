import { ReadEvaluationFileRequest } from '@jsigr/proto';
import { serverStream } from '@jsigr/service/client';
import type { Session } from './session.ts';

/** One file of an evaluation's ledger, whole. @throws JsigrError FAILED_PRECONDITION where there is no ledger, NOT_FOUND */
export async function readEvaluationFile(session: Session, name: string, path: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const request = ReadEvaluationFileRequest.fromPartial({ name, path });
  for await (const { data } of serverStream(session.evaluations, 'readEvaluationFile', request)) chunks.push(data);
  return Buffer.concat(chunks);
}
