import { status } from '@grpc/grpc-js';
import { invalidArgument, JsigrError } from '@jsigr/service/client';
import { describe, expect, it } from 'vitest';
import { errorText } from './program.ts';
import { jsigr } from './testing/command.ts';
import { version } from './version.ts';

describe('wrong usage ends with 2 and names what is wrong', () => {
  it.each([
    ['train --epochs many', '--epochs'],
    ['train --epochs 0', '1..4294967295'],
    ['train --lr fast', '--lr'],
    ['train --optimizer lion', '--optimizer'],
    ['train --seed -1', '--seed'],
    ['train --set weight', 'key=value'],
    ['train --attack PGD', '--attack'],
    ['train --feedback swap', '--feedback'],
    ['train --augment rotate', '--augment'],
    ['train extra', 'too many arguments'],
    ['evaluate', "missing required argument 'model'"],
    ['evaluate m --epsilon 0.1,x', '--epsilon'],
    ['evaluate m --part train', '--part'],
    ['compare a', "missing required argument 'second'"],
    ['explain m --sample glyphs', '--sample'],
    ['explain m --raw map.png', '--raw'],
    ['explain m --sample glyphs:1 --image x.png', '--image'],
    ['explain m', '--image FILE or --sample'],
    ['models export m', '--out'],
    ['models export m --out x --format tflite', '--format'],
    ['datasets import mnist dir', '--format'],
    ['runs watch', "missing required argument 'run'"],
    ['runs list --limit 0', '--limit'],
    ['up --port 70000', '--port'],
    ['-o yaml runs list', '--output'],
    ['--device tpu runs list', '--device'],
    ['--engine torch runs list', '--engine'],
    ['--device cuda --server localhost:1 runs list', '--device: the gateway at localhost:1 runs already'],
    ['--context here --server localhost:1 runs list', '--context: --server names a gateway too'],
    ['gc --keep-progress 1e99', '--keep-progress: 1e+99 given'],
    ['attacks lst', "unknown command 'lst'"],
    ['nonsense', "unknown command 'nonsense'"],
    ['trian', 'train'],
    ['train --epoch 3', '--epochs'],
  ])('%s', async (line, named) => {
    const { code, out, err } = await jsigr(line.split(' '));
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(named);
    expect(err).toMatch(/^jsigr: /);
    expect(err).not.toMatch(/\n\s+at /);
  });
});

describe('help', () => {
  it('is what the bare command says, with all commands and the exit codes', async () => {
    const { code, out } = await jsigr([]);
    expect(code).toBe(0);
    for (const name of ['up', 'train', 'evaluate', 'compare', 'explain', 'runs', 'models', 'datasets', 'demo'])
      expect(out).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
    expect(out).toContain('130  cancelled');
  });

  it.each([
    'up',
    'train',
    'evaluate',
    'compare',
    'explain',
    'runs list',
    'runs show',
    'runs watch',
    'runs cancel',
    'models list',
    'models show',
    'models export',
    'datasets list',
    'datasets show',
    'datasets import',
    'demo',
  ])('of %s has examples and the options that every command takes', async (name) => {
    const { code, out } = await jsigr([...name.split(' '), '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`Examples:\n  jsigr ${name}`);
    expect(out).toContain('--server');
  });

  it('says which version it is', async () => expect((await jsigr(['--version'])).out).toBe(`${version}\n`));
});

describe('errors for people', () => {
  it('name one field in one sentence', () =>
    expect(errorText(invalidArgument('spec.epochs', '0 given, 1 to 10000 allowed'), false)).toBe(
      'jsigr: spec.epochs: 0 given, 1 to 10000 allowed\n',
    ));

  it('give several fields a line each', () => {
    const error = invalidArgument([
      { field: 'spec.epochs', description: 'is missing' },
      { field: 'spec.seed', description: 'is too large' },
    ]);
    expect(errorText(error, false)).toBe(
      'jsigr: the request was refused\n  spec.epochs: is missing\n  spec.seed: is too large\n',
    );
  });

  it('say what to do next, and show stacks and causes only on demand', () => {
    const cause = new Error('socket');
    const error = new JsigrError({
      code: status.NOT_FOUND,
      reason: 'X',
      message: 'no model',
      hint: 'list them',
      cause,
    });
    expect(errorText(error, false)).toBe('jsigr: no model\nhint: list them\n');
    expect(errorText(error, true)).toContain('caused by: Error: socket\n    at ');
  });

  it('tell a terminal nothing, whatever a file calls its parts', () => {
    const error = new JsigrError({
      code: status.INVALID_ARGUMENT,
      reason: 'X',
      message: 'node \u001b[2J\r\u0007\u009b1m',
    });
    expect(errorText(error, false)).toBe('jsigr: node ?[2J???1m\n');
  });

  it('tell how to get a gateway where none answers', () =>
    expect(
      errorText(new JsigrError({ code: status.UNAVAILABLE, reason: 'UNAVAILABLE', message: 'nobody there' }), false),
    ).toContain('hint: is a gateway running there? `jsigr up` starts one'));
});
