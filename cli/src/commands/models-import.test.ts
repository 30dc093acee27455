import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerReadableStream, sendUnaryData } from '@grpc/grpc-js';
import { type ImportModelRequest, ImportModelResponse, ModelDescription } from '@jsigr/proto';
import { invalidArgument, toServiceError } from '@jsigr/service/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsigr, type Outcome } from '../testing/command.ts';
import { type FakeGateway, startFakeGateway } from '../testing/fake-gateway.ts';
import { fakeTerminal } from '../testing/fake-terminal.ts';

type Call = ServerReadableStream<ImportModelRequest, ImportModelResponse>;

const response = ImportModelResponse.fromPartial({
  model: {
    name: `models/${'ab'.repeat(32)}`,
    architecture: 'onnx',
    displayName: 'net',
    producer: 'pytorch 2.15.0, operator set 17',
    input: [32, 32, 3],
    classes: 2,
    classNames: ['cat', 'dog'],
    remarks: ['the file ends in a softmax'],
  },
});

let folder = '';
let gateway: FakeGateway | undefined;
let description: ModelDescription | undefined;
let files: Record<string, string> = {};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jsigr-cli-'));
  description = undefined;
  files = {};
});
afterEach(() => {
  gateway?.close();
  rmSync(folder, { recursive: true });
});

/** Keeps what arrives. */
async function receiving(call: Call, callback: sendUnaryData<ImportModelResponse>): Promise<void> {
  for await (const { message } of call as AsyncIterable<ImportModelRequest>) {
    if (message?.$case === 'description') description = message.value;
    if (message?.$case === 'chunk')
      files[message.value.path] = (files[message.value.path] ?? '') + message.value.data.toString();
  }
  callback(null, response);
}

async function run(line: string, importModel = receiving): Promise<Outcome> {
  gateway = await startFakeGateway({ models: { importModel } });
  return jsigr(line.split(' '), { gateway, terminal: fakeTerminal({ directory: folder }) });
}

describe('models import', () => {
  it('sends the address of a live endpoint and how patiently it is to be asked, and no files', async () => {
    const url = 'grpc://models.example:8001/resnet';
    const { code } = await run(`models import ${url} --requests-per-second 2.5 --timeout 0.5 --batch 4 --mean 0.5`);
    expect(code).toBe(0);
    expect(description).toMatchObject({
      displayName: 'resnet',
      endpoint: { url, requestsPerSecond: 2.5, timeoutMs: 500, batch: 4 },
      mean: [0.5],
      files: [],
    });
    expect(files).toEqual({});
  });

  it('sends an ONNX file and what is said of it, and shows the model', async () => {
    const content = 'onnx '.repeat(100_000);
    writeFileSync(join(folder, 'net.onnx'), content);
    const options = '--input 32x32x3 --layout NCHW --mean 0.5 --deviation 1/4,0.25,0.25 --labels cat,dog --scores p';
    const { code, out } = await run(`models import net.onnx ${options}`);
    expect(code).toBe(0);
    expect(description).toEqual({
      displayName: 'net',
      input: [32, 32, 3],
      layout: 'NCHW',
      output: 'p',
      mean: [0.5],
      deviation: [0.25, 0.25, 0.25],
      classNames: ['cat', 'dog'],
      files: [{ path: 'model.onnx', sizeBytes: content.length }],
    });
    expect(files).toEqual({ 'model.onnx': content });
    for (const text of ['pytorch 2.15.0', 'cat, dog', 'the file ends in a softmax']) expect(out).toContain(text);
  });

  it('sends the weights that PyTorch writes beside an ONNX file, and no other neighbours', async () => {
    for (const name of ['net.onnx', 'net.onnx.data', 'net.onnx.bak', 'other.onnx.data'])
      writeFileSync(join(folder, name), name);
    expect((await run('models import net.onnx')).code).toBe(0);
    expect(files).toEqual({ 'model.onnx': 'net.onnx', 'net.onnx.data': 'net.onnx.data' });
  });

  it('sends the folder of a LayersModel: model.json and the files that it names, and no others', async () => {
    mkdirSync(join(folder, 'keras'));
    const json = JSON.stringify({ weightsManifest: [{ paths: ['a.bin'] }, { paths: ['b.bin'] }] });
    for (const [name, text] of Object.entries({ 'model.json': json, 'a.bin': 'A', 'b.bin': 'B', 'c.txt': 'C' }))
      writeFileSync(join(folder, 'keras', name), text);
    expect((await run('models import keras --name mine')).code).toBe(0);
    expect(description?.displayName).toBe('mine');
    expect(files).toEqual({ 'model.json': json, 'a.bin': 'A', 'b.bin': 'B' });
  });

  it('shows what the gateway refuses, though it answers before all was sent', async () => {
    writeFileSync(join(folder, 'net.onnx'), Buffer.alloc(5_000_000));
    const { code, err } = await run('models import net.onnx', async (call, callback) => {
      callback(toServiceError(invalidArgument('files', 'the operator Frobnicate is not known')));
      call.resume();
    });
    expect(code).toBe(2);
    expect(err).toContain('the operator Frobnicate is not known');
  });

  it.each([
    ['a file that is not there', 'models import nothing.onnx', 'there is no file'],
    ['a folder without model.json', 'models import .', 'model.json'],
    ['a size that is none', 'models import net.onnx --input 32x32', 'is not height, width and channels; write 32x32x3'],
    ['a layout that is not known', 'models import net.onnx --layout CHW', 'Allowed choices are NCHW, NHWC'],
  ])('refuses %s', async (_, line, message) => {
    const { code, err } = await run(line);
    expect(code).not.toBe(0);
    expect(err).toContain(message);
  });

  it('sends no file from outside of the folder, whatever model.json names', async () => {
    writeFileSync(join(folder, 'model.json'), JSON.stringify({ weightsManifest: [{ paths: ['../secret'] }] }));
    const { code, err } = await run('models import model.json');
    expect(code).not.toBe(0);
    expect(err).toContain('"../secret", which does not lie in the folder');
    expect(files).toEqual({});
  });
});
