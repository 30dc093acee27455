/**
 * TypeScript types from the CRDs in k8s/crds: `gateway/src/operator/generated/resources.ts`. Required fields and fields with a default are always there when
 * the API server hands a resource out, so both are required here.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';

interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string; readonly plural: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

const crds = new URL('../k8s/crds/', import.meta.url);
const target = new URL('../gateway/src/operator/generated/', import.meta.url);

function typeOf(schema: Schema, indent: string): string {
  if (schema['x-kubernetes-int-or-string']) return 'number | string';
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  switch (schema.type) {
    case 'array':
      return `readonly (${typeOf(schema.items ?? {}, indent)})[]`;
    case 'object':
      return schema.additionalProperties
        ? `Readonly<Record<string, ${typeOf(schema.additionalProperties, indent)}>>`
        : `{\n${fieldsOf(schema, `${indent}  `)}${indent}}`;
    case 'integer':
    case 'number':
      return 'number';
    case 'string':
    case 'boolean':
      return schema.type;
    default:
      throw new Error(`a schema without a type that is known: ${JSON.stringify(schema)}`);
  }
}

function fieldsOf({ properties = {}, required = [] }: Schema, indent: string): string {
  return Object.entries(properties)
    .map(([name, schema]) => {
      const mark = required.includes(name) || schema.default !== undefined ? '' : '?';
      const comment = schema.description ? `${indent}/** ${schema.description} */\n` : '';
      return `${comment}${indent}readonly ${name}${mark}: ${typeOf(schema, indent)};\n`;
    })
    .join('');
}

function declarations(file: string): string {
  const { spec } = parse(readFileSync(new URL(file, crds), 'utf8')) as Definition;
  const { kind, plural } = spec.names;
  return spec.versions
    .map(({ name, schema: { openAPIV3Schema } }) => {
      const { spec: wanted = {}, status = {} } = openAPIV3Schema.properties ?? {};
      return [
        `/** ${openAPIV3Schema.description} */`,
        `export type ${kind}Spec = ${typeOf(wanted, '')};`,
        `/** ${status.description} */`,
        `export type ${kind}Status = ${typeOf(status, '')};`,
        `export const ${plural} = { apiVersion: '${spec.group}/${name}', kind: '${kind}', plural: '${plural}' } as const;`,
      ].join('\n');
    })
    .join('\n');
}

const files = readdirSync(crds)
  .filter((name) => name.endsWith('.jsigr.dev.yaml'))
  .sort();
mkdirSync(target, { recursive: true });
const head = '// Made by scripts/generate-crd-types.ts from k8s/crds; do not edit.\n';
writeFileSync(new URL('resources.ts', target), `${head}${files.map(declarations).join('\n')}\n`);
