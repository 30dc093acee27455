import { ImportModelRequest } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { expect, test } from 'vitest';
import { LARGEST_UPLOAD, readUpload } from './model-upload.ts';

const description = (files: readonly { path: string; sizeBytes: number }[]) =>
  ImportModelRequest.fromPartial({ message: { $case: 'description', value: { files: [...files] } } });
const chunk = (path: string, data: Buffer): ImportModelRequest => ({
  message: { $case: 'chunk', value: { path, data } },
});

async function* sent(first: ImportModelRequest, chunks: Iterable<ImportModelRequest>) {
  yield first;
  yield* chunks;
}

test('nothing of a chunk is kept but its bytes: of however many chunks a file is, it takes no more memory', async () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
  function* chunks() {
    // The same piece of memory for every chunk: whoever keeps chunks until the end has the last one in all of them.
    const data = Buffer.alloc(1);
    for (const byte of bytes) {
      data[0] = byte;
      yield chunk('model.onnx', data);
    }
  }
  const { files } = await readUpload(sent(description([{ path: 'model.onnx', sizeBytes: 1000 }]), chunks()));
  expect(bytes.equals(files['model.onnx'] ?? Buffer.alloc(0))).toBe(true);
});

test('files that are too large together are refused before any memory is taken for them', async () => {
  const files = ['a', 'b'].map((path) => ({ path, sizeBytes: LARGEST_UPLOAD / 2 + 1 }));
  const error = JsigrError.from(await readUpload(sent(description(files), [])).catch((cause: unknown) => cause));
  expect(error).toMatchObject({ reason: 'MODEL_TOO_LARGE' });
});

test('an endpoint is not asked so seldom that no timer waits as long', async () => {
  const url = 'http://models.example/v2/models/m';
  const endpoint = { url, requestsPerSecond: Number.MIN_VALUE, timeoutMs: 0, batch: 0 };
  const first = ImportModelRequest.fromPartial({ message: { $case: 'description', value: { endpoint } } });
  const error = JsigrError.from(await readUpload(sent(first, [])).catch((cause: unknown) => cause));
  expect(error.violations).toMatchObject([{ field: 'description.endpoint.requestsPerSecond' }]);
});
