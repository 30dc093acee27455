import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Stage {
  readonly from: string;
  readonly lines: readonly (readonly [instruction: string, rest: string])[];
}

/** What can be said of the images without building them; `npm run test:images` builds those for processors. */
const { stages, defaults } = read(readFileSync(join(root, 'k8s/images/Dockerfile'), 'utf8'));

function read(text: string): { stages: ReadonlyMap<string, Stage>; defaults: ReadonlyMap<string, string> } {
  const stages = new Map<string, { from: string; lines: [string, string][] }>();
  const defaults = new Map<string, string>();
  let stage: { from: string; lines: [string, string][] } | undefined;
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
    const [, instruction = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    const [, from = '', name = ''] = /^(\S+) AS (\S+)$/.exec(rest) ?? [];
    if (instruction === 'FROM') {
      stage = { from, lines: [] };
      stages.set(name, stage);
    } else if (stage) stage.lines.push([instruction, rest]);
    else defaults.set(...(rest.split('=', 2) as [string, string]));
  }
  return { stages, defaults };
}

/** A stage and those that it is made of, itself first. */
function lineage(name: string): Stage[] {
  const stage = stages.get(name);
  return stage ? [stage, ...lineage(stage.from)] : [];
}
const linesOf = (name: string) => lineage(name).flatMap(({ lines }) => lines);
const last = (name: string, wanted: string) => linesOf(name).find(([instruction]) => instruction === wanted)?.[1];

const workers = ['trainer', 'attacker', 'explainer'];
const targets = ['gateway', ...workers.flatMap((kind) => [kind, `${kind}-gpu`, `${kind}-gpu-tensorflow`])];

test('whatever is built comes from base images of one version, which a digest may replace', () => {
  for (const [name, { from }] of stages)
    expect(stages.has(from) || defaults.has(from.slice(2, -1)), `${name} is from ${from}`).toBe(true);
  for (const base of defaults.values()) expect(base).toMatch(/^docker\.io\/library\/[a-z]+:(?=.*\d)[\w.-]+$/);
});

describe.each(targets)('the image %s', (target) => {
  test('runs as a user who is not root, from a read-only file system, and is started by a program of this checkout', () => {
    expect(last(target, 'USER')).toBe('10001:10001');
    expect(
      linesOf(target)
        .filter(([instruction]) => instruction === 'ENV')
        .join(' '),
    ).toContain('HOME=/tmp');
    const [program = '', file = ''] = JSON.parse(last(target, 'ENTRYPOINT') ?? '[]');
    expect(program).toBe('node');
    expect(existsSync(join(root, file.replace('/dist/main.js', '/src/main.ts'))), file).toBe(true);
    expect(file).toMatch(target === 'gateway' ? /^gateway\// : new RegExp(`^services/${target.split('-')[0]}/`));
  });

  test('has only what was packed for it, from stages that there are', () => {
    const copies = linesOf(target).filter(([instruction]) => instruction === 'COPY');
    for (const [, rest] of copies) expect(stages.has(/^--from=(\S+) /.exec(rest)?.[1] ?? ''), rest).toBe(true);
    const packed = copies.map(([, rest]) => /^--from=(pack-\S+) \/out \/app$/.exec(rest)?.[1]).filter(Boolean);
    const [kind, variant] = target.split(/-(.*)/);
    expect(packed).toEqual([`pack-${kind}${variant === 'gpu' ? '-gpu' : ''}`]);
    const pack = linesOf(packed[0] ?? '').map(([, rest]) => rest);
    const workspace = target === 'gateway' ? 'gateway' : target.split('-')[0];
    expect(pack.some((line) => new RegExp(`pack-image\\.ts /out @jsigr/${workspace}\\b`).test(line))).toBe(true);
  });

  test.runIf(target.includes('-gpu'))(
    'looks at its GPU at the start, and shows no GPU to a pod that asks for none',
    () => {
      const environment = linesOf(target)
        .filter(([instruction]) => instruction === 'ENV')
        .join(' ');
      expect(environment).toContain('JSIGR_CHECK_DEVICE=true');
      expect(environment).toContain('JSIGR_DEVICE=cuda');
      expect(environment).not.toContain('NVIDIA_VISIBLE_DEVICES');
      expect(environment.includes('JSIGR_ENGINE=tensorflow')).toBe(target.endsWith('-tensorflow'));
    },
  );
});
