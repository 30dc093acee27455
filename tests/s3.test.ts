import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type S3Server, s3Program, s3Skipped, startS3 } from '@jsigr/service/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jsigr } from './support/command.ts';
import { GatewayProcess, workersOf } from './support/gateway-process.ts';

// Real processes, a real S3 server.
describe.skipIf(!s3Program)(`a gateway whose artefacts lie in S3${s3Skipped}`, () => {
  let server: S3Server;
  const gateways: GatewayProcess[] = [];
  beforeAll(async () => {
    server = await startS3();
  });
  afterAll(() => server?.close());
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway[Symbol.asyncDispose]();
  });

  function gatewayOn(artefacts: string, environment: Readonly<Record<string, string>> = server.environment) {
    const gateway = new GatewayProcess(undefined, {
      ...environment,
      JSIGR_ARTEFACTS: artefacts,
      JSIGR_S3_ENDPOINT: server.endpoint,
      JSIGR_LOG_LEVEL: 'trace',
      JSIGR_STATE_SECONDS: '0.2',
    });
    gateways.push(gateway);
    return gateway;
  }

  it('trains through kill -9 of the trainer, evaluates, explains, exports and collects', {
    timeout: 600_000,
  }, async () => {
    const gateway = await gatewayOn(`s3://${await server.newBucket()}/team/jsigr`).start();
    const command = (line: string) => jsigr([...line.split(' '), '--data-dir', gateway.data]);
    // One line for each event, the run last.
    const outcome = async (line: string) =>
      JSON.parse((await command(`${line} -o json`)).trim().split('\n').at(-1) ?? '');

    const training = outcome('train --dataset glyphs --architecture mlp --objective standard --epochs 3 --no-loop');
    while ((await workersOf(server.endpoint)).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const pid of await workersOf(server.endpoint)) process.kill(pid, 'SIGKILL');
    const { trainingRun } = await training;
    expect(trainingRun).toMatchObject({ state: 'RUN_STATE_SUCCEEDED', retries: 1 });
    const { evaluation } = await outcome(`evaluate ${trainingRun.name} --attack fgsm:0.1 --samples 40`);
    expect(evaluation.state).toBe('RUN_STATE_SUCCEEDED');
    const [picture, model] = [join(gateway.data, 'why.png'), join(gateway.data, 'model.onnx')];
    await command(`explain ${trainingRun.name} --sample glyphs:3 --method gradient --out ${picture}`);
    await command(`models export ${trainingRun.name} --format onnx --out ${model}`);
    expect([existsSync(picture), existsSync(model)]).toEqual([true, true]);
    expect(await command('gc --dry-run --min-age 0')).toMatch(/uploads +0/);
    expect(existsSync(join(gateway.data, 'artefacts'))).toBe(false);
    await gateway.stop();
    expect(await workersOf(server.endpoint)).toEqual([]);
    expect(gateway.output).not.toContain(server.environment.AWS_SECRET_ACCESS_KEY);
  });

  it('does not start without its bucket, and says which, and not with what secret', { timeout: 120_000 }, async () => {
    const failure = await gatewayOn('s3://no-such-bucket')
      .start()
      .catch((error: Error) => error.message);
    expect(failure).toContain('the artefact store s3://no-such-bucket does not exist');
    expect(failure).not.toContain(server.environment.AWS_SECRET_ACCESS_KEY);
  });
});
