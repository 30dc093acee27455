import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What each workspace may import of the others (docs/decisions/0001-layout.md); an import that is not in this table is an error. */
const allowed: Record<string, readonly string[]> = {
  proto: [],
  'packages/engine': [],
  'packages/models': ['engine'],
  'packages/datasets': ['engine'],
  'packages/attacks': ['models', 'datasets', 'engine'],
  'packages/saliency': ['models', 'datasets', 'engine'],
  'packages/defenses': ['attacks', 'saliency', 'models', 'datasets', 'engine'],
  'packages/study': ['defenses', 'attacks', 'saliency', 'models', 'datasets', 'engine'],
  'packages/service': ['proto'],
  'services/trainer': ['proto', 'service', 'defenses', 'attacks', 'saliency', 'models', 'datasets', 'engine'],
  'services/attacker': ['proto', 'service', 'attacks', 'models', 'datasets', 'engine'],
  'services/explainer': ['proto', 'service', 'saliency', 'models', 'datasets', 'engine'],
  gateway: ['proto', 'service', 'defenses', 'attacks', 'saliency', 'models', 'datasets'],
  cli: ['attacks', 'study', 'proto', 'service', 'gateway'],
};

function sources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('generated'))
    .map((file) => join(folder, file));
}

/** Names in import statements at the start of a line; strings in tests that look like imports are none. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [
    ...text.matchAll(/^(?:import|export)\b[^'"]*?\bfrom '([^']+)';$|^import '([^']+)';$|\bimport\('([^']+)'\)/gm),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

describe('imports point downwards only', () => {
  for (const [workspace, targets] of Object.entries(allowed)) {
    const files = sources(join(root, workspace, 'src'));

    it(`${workspace} imports no workspace but ${targets.join(', ') || 'none'}`, () => {
      expect(files.length).toBeGreaterThan(0);
      const wrong = files.flatMap((file) =>
        importsOf(file)
          .filter((name) => name.startsWith('@jsigr/') && !targets.includes(name.split('/')[1] ?? ''))
          .map((name) => `${relative(root, file)} imports ${name}`),
      );
      expect(wrong).toEqual([]);
    });

    it(`${workspace} declares what it imports`, () => {
      const {
        dependencies = {},
        devDependencies = {},
        optionalDependencies = {},
      } = JSON.parse(readFileSync(join(root, workspace, 'package.json'), 'utf8'));
      const declared = new Set([
        ...[dependencies, devDependencies, optionalDependencies].flatMap(Object.keys),
        'vitest',
        'fast-check',
      ]);
      const undeclared = files.flatMap((file) =>
        importsOf(file)
          .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
          .map((name) => (name.startsWith('@') ? name.split('/').slice(0, 2).join('/') : (name.split('/')[0] ?? '')))
          .filter((name) => !declared.has(name))
          .map((name) => `${relative(root, file)} imports ${name}`),
      );
      expect(undeclared).toEqual([]);
    });

    if (workspace.startsWith('packages/') && workspace !== 'packages/service')
      it(`${workspace} does not know NestJS`, () => {
        expect(files.filter((file) => importsOf(file).some((name) => name.startsWith('@nestjs/')))).toEqual([]);
      });
  }
});
