import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { chromium, open } from './support/chromium.ts';
import { jsigr } from './support/command.ts';
import { GatewayProcess } from './support/gateway-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'jsigr-page-'));
const gateway = new GatewayProcess();
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe.skipIf(!chromium)('the page of an evaluation in a browser', () => {
  it('shows a real evaluation, and neither asks for nor is refused anything', { timeout: 180_000 }, async () => {
    await gateway.start();
    const server = ['--server', gateway.grpcAddress];
    const train = 'train --dataset glyphs --architecture mlp --objective standard --epochs 1 --no-loop -o json';
    const trained = await jsigr([...train.split(' '), ...server]);
    const run = trained
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .at(-1).trainingRun;
    const page = join(folder, 'page.html');
    const line = `evaluate ${run.name} --attack noise --attack pgd:0.02,0.1:steps=5 --epsilon 0.1 --samples 40`;
    const options = ['--report', page, '--export', join(folder, 'images')];
    await jsigr([...line.split(' '), ...options, ...server]);
    const { dom, console } = await open(page);
    expect(console).toEqual([]);
    expect(dom).toContain('stay right when the model itself is attacked');
    expect(dom.match(/<svg class="chart"/g)).toHaveLength(1);
    expect(dom.match(/<image /g)?.length).toBeGreaterThanOrEqual(3);
    const index = JSON.parse(readFileSync(join(folder, 'images/index.json'), 'utf8'));
    expect(index.images).toBeGreaterThan(0);
  });

  it('would be told if the policy refused something', async () => {
    const page = join(folder, 'loud.html');
    const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'">`;
    writeFileSync(page, `<!doctype html><title>loud</title>${policy}<script>1</script>`);
    expect((await open(page)).console.join()).toMatch(/Content Security Policy/i);
  });
});
