import * as z from 'zod';
import { listObjectives } from './objectives/registry.ts';
import { techniquesSchema } from './techniques.ts';

/** A setting for people: lists, help texts and the documentation are made from it. */
export interface SettingHelp {
  readonly name: string;
  /** As text; empty where it may be left out without a default. */
  readonly defaultValue: string;
  /** What is allowed, e.g. `0..10000`, `hard, soft`. */
  readonly allowed: string;
  readonly description: string;
}

export interface ObjectiveHelp {
  readonly name: string;
  readonly summary: string;
  readonly source: string;
  readonly settings: readonly SettingHelp[];
}

/** Every objective of the registry with its settings. */
export function objectivesHelp(): readonly ObjectiveHelp[] {
  return listObjectives().map(({ name, summary, source, settings }) => ({
    name,
    summary,
    source,
    settings: settingsHelp(settings),
  }));
}

/** The settings that go with any objective. */
export function techniquesHelp(): readonly SettingHelp[] {
  return settingsHelp(techniquesSchema);
}

/** What is read of a setting's JSON schema. */
interface Property {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly default?: unknown;
  readonly description?: string;
}

/** The settings of a schema, in its order. */
export function settingsHelp(schema: z.ZodObject): readonly SettingHelp[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input' }) as { properties?: Record<string, Property> };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    defaultValue: property.default === undefined ? '' : String(property.default),
    allowed: allowedOf(property),
    description: property.description ?? '',
  }));
}

function allowedOf({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum, ...property }: Property): string {
  if (property.enum) return property.enum.join(', ');
  if (type === 'boolean') return 'true, false';
  if (type !== 'number' && type !== 'integer') return 'text';
  const range = `${exclusiveMinimum === undefined ? (minimum ?? '') : `above ${exclusiveMinimum} `}..${
    exclusiveMaximum === undefined ? (maximum ?? '') : ` below ${exclusiveMaximum}`
  }`;
  return type === 'integer' ? `${range}, whole` : range;
}
