import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { STALLED_MS } from '@jsigr/service';

/** The first chunk is fetched before anything is sent: until then an error is an answer. */
export async function sendBytes(chunks: AsyncGenerator<{ data: Buffer }>, response: ServerResponse): Promise<void> {
  const first = await chunks.next();
  response.setTimeout(STALLED_MS, () => response.destroy());
  try {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' });
    await pipeline(async function* () {
      if (!first.done) yield first.value.data;
      for await (const { data } of chunks) yield data;
    }, response).catch(() => undefined);
  } finally {
    // A client that left during the first chunk has left the file open.
    await chunks.return(undefined);
  }
}
