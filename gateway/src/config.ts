import { readFile } from 'node:fs/promises';
import {
  DEVICE_CHOICES,
  ENGINE_CHOICES,
  invalidArgument,
  isS3,
  JsigrError,
  listFromText,
  s3Address,
  s3Endpoint,
  s3Region,
  type Violation,
} from '@jsigr/service/client';
import * as z from 'zod';
import { roles } from './access/caller.ts';
import { DEFAULT_LIMITS } from './access/limits.ts';
import { FAILED_SIGN_INS_PER_MINUTE } from './access/strangers.ts';
import { trustworthyUrl } from './access/trustworthy-url.ts';
import { type GatewayOptions, isSilence, SILENCE_RANGE } from './options.ts';

export { settingsOf } from './options.ts';

/** One setting: its place in a file, its variable, what is allowed, its default in words, and what it is for. */
interface Setting {
  readonly path: string;
  readonly variable: string;
  readonly schema: z.ZodType;
  readonly fallback: string;
  readonly meaning: string;
  /** Never shown. */
  readonly secret?: true;
}

const text = z.string().min(1);
const port = z.coerce.number().int().min(0).max(65_535);
const seconds = z.coerce.number().min(0).max(86_400);
const count = (most: number) => z.coerce.number().int().min(1).max(most);
/** In a variable it is JSON. */
const roleMap = z.preprocess(
  (value) => (typeof value === 'string' ? JSON.parse(value) : value),
  z.record(z.string(), z.enum(roles)),
);
const url = z.url({ protocol: /^https?$/ });

/** Text that a check takes, which throws. */
const checked = (check: (value: string) => unknown) =>
  text.superRefine((value, context) => {
    try {
      check(value);
    } catch (error) {
      context.addIssue(JsigrError.from(error).violations[0]?.description ?? String(error));
    }
  });
const switched = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean());

const row = (path: string, variable: string, schema: z.ZodType, fallback: string, meaning: string): Setting => ({
  path,
  variable: `JSIGR_${variable}`,
  schema,
  fallback,
  meaning,
});

/** Every setting of a gateway. The file, the environment, `jsigr config check` and docs/configuration.md follow from it. */
export const settings: readonly Setting[] = [
  row(
    'dataDirectory',
    'DATA_DIRECTORY',
    text,
    '`--data-dir`, else `JSIGR_DATA`, else .jsigr',
    'folder of database, artefacts and lock; of `node gateway/dist/main.js` and images alone: a `jsigr` command goes by `--data-dir`, and refuses another one here',
  ),
  {
    ...row(
      'databaseUrl',
      'DATABASE_URL',
      text,
      'embedded PostgreSQL',
      'a PostgreSQL server: postgres://user:password@host/database',
    ),
    secret: true,
  },
  row(
    'artefactBytes',
    'ARTEFACT_BYTES',
    z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    'no limit',
    'what all artefacts together may have, in bytes; what does not fit is refused',
  ),
  row(
    'artefacts',
    'ARTEFACTS',
    checked((place) => isS3(place) && s3Address(place)),
    'in the data directory',
    'where models, datasets and ledgers lie: a folder, or `s3://bucket/prefix`',
  ),
  row('s3.region', 'S3_REGION', checked(s3Region), '`AWS_REGION`', "the bucket's"),
  row('s3.endpoint', 'S3_ENDPOINT', checked(s3Endpoint), "AWS' own", 'URL of another S3 server'),
  row(
    's3.pathStyle',
    'S3_PATH_STYLE',
    switched,
    'true with an endpoint',
    "the bucket in the path, not in the server's name; credentials come from the environment of AWS alone",
  ),
  row('host', 'HOST', text, '127.0.0.1', 'address to listen on; others than loopback only where callers sign in'),
  row('grpcPort', 'GRPC_PORT', port, '7460', '0: any free one'),
  row(
    'httpPort',
    'HTTP_PORT',
    z.union([z.literal('none').transform(() => null), z.null(), port]),
    '7461',
    'none: no HTTP face',
  ),
  row(
    'healthPort',
    'HEALTH_PORT',
    port,
    'none',
    "for a kubelet's probes beside TLS: says whether it serves, and nothing else, and is never encrypted",
  ),
  row('threads', 'THREADS', count(1024), 'all cores', 'cores for all workers together'),
  row('trainingsAtOnce', 'TRAININGS_AT_ONCE', count(512), '1; as pods 512', 'the others wait in order'),
  row('evaluationsAtOnce', 'EVALUATIONS_AT_ONCE', count(512), '1; as pods 512', 'the others wait in order'),
  row(
    'workers',
    'WORKERS',
    z.enum(['processes', 'kubernetes']),
    'processes',
    'of this machine, or pods of Jobs in a cluster',
  ),
  row(
    'advertisedAddress',
    'ADVERTISED_ADDRESS',
    text,
    'where it listens',
    'host:port of the gateway as workers reach it',
  ),
  row('workerImage', 'WORKER_IMAGE', text, 'jsigr-{kind}', 'of workers that are pods; {kind}: trainer or attacker'),
  row(
    'operator',
    'OPERATOR',
    switched,
    'false',
    'make runs of the TrainingRuns and RobustnessEvaluations of a Kubernetes namespace',
  ),
  row('namespace', 'NAMESPACE', text, "the pod's, or the kubeconfig's", 'of custom resources and worker Jobs'),
  row('engine', 'ENGINE', z.enum(ENGINE_CHOICES), 'auto', 'what computes'),
  row(
    'endpointNetworks',
    'ENDPOINT_NETWORKS',
    z.preprocess((value) => (typeof value === 'string' ? listFromText(value) : value), z.array(text)),
    'none',
    'private networks in which live endpoints may be attacked, e.g. 127.0.0.0/8,10.1.0.0/16',
  ),
  row('device', 'DEVICE', z.enum(DEVICE_CHOICES), 'auto', 'where it computes'),
  row(
    'idleSeconds',
    'IDLE_SECONDS',
    seconds,
    '30',
    'how long a worker without work is kept; explainers ten times as long',
  ),
  row(
    'retries',
    'RETRIES',
    z.coerce.number().int().min(0).max(100),
    '3',
    'how often a run is begun again without having come further',
  ),
  row('stateSeconds', 'STATE_SECONDS', seconds, '30', 'how often a run keeps what it could go on from'),
  row(
    'silenceSeconds',
    'SILENCE_SECONDS',
    z.coerce.number().refine(isSilence, SILENCE_RANGE),
    '1800',
    "how long a worker's computing thread may give no sign of life (a step, a batch of an attack, an event) before it is ended and its run begun again from what it kept, within `retries`; compiling a large network gives none, and takes seconds to minutes. 0: for ever",
  ),
  row(
    'leaseSeconds',
    'LEASE_SECONDS',
    seconds.refine((value) => value >= 1, 'at least 1'),
    '20',
    "a worker's lease",
  ),
  row('graceSeconds', 'GRACE_SECONDS', seconds, '8', 'how long a stop waits for workers to hand their runs back'),
  row(
    'tls.certificate',
    'TLS_CERTIFICATE',
    text,
    'not encrypted',
    'PEM file of the certificate of gateway and workers',
  ),
  row('tls.key', 'TLS_KEY', text, '', 'PEM file of its key'),
  row('tls.ca', 'TLS_CA', text, '', 'PEM file of the authorities that gateway and workers believe'),
  row(
    'tls.clientCa',
    'TLS_CLIENT_CA',
    text,
    'no client certificates',
    'PEM file of the authorities of clients, who must show a certificate',
  ),
  row(
    'tls.serverName',
    'TLS_SERVER_NAME',
    text,
    'the address',
    'name in the certificate, where servers are reached by another',
  ),
  row('access.tokensFile', 'TOKENS_FILE', text, 'tokens.json in the data directory', 'static tokens, hashed'),
  row('access.oidc.issuer', 'OIDC_ISSUER', trustworthyUrl, 'no OIDC', 'as in the claim iss; https, or this machine'),
  row('access.oidc.audience', 'OIDC_AUDIENCE', text, '', 'must be in the claim aud'),
  row('access.oidc.roleClaim', 'OIDC_ROLE_CLAIM', text, 'jsigr_role', 'claim with the roles'),
  row(
    'access.oidc.roles',
    'OIDC_ROLES',
    roleMap,
    'viewer, runner, admin',
    'what its values mean, e.g. {"ml-engineers": "runner"}',
  ),
  row('access.oidc.tenantClaim', 'OIDC_TENANT_CLAIM', text, 'jsigr_tenant', 'claim with the tenant'),
  row(
    'access.kubernetes.roles',
    'KUBERNETES_ROLES',
    roleMap,
    'no TokenReview',
    'users and groups, e.g. {"system:serviceaccounts:vision": "runner"}',
  ),
  row('access.kubernetes.audience', 'KUBERNETES_AUDIENCE', text, 'jsigr', 'tokens must be made out for it'),
  row('access.kubernetes.server', 'KUBERNETES_SERVER', url, "the pod's cluster", 'API server'),
  row('access.kubernetes.caFile', 'KUBERNETES_CA_FILE', text, "the pod's", 'its authority'),
  row('access.kubernetes.tokenFile', 'KUBERNETES_TOKEN_FILE', text, "the pod's", 'token that may create TokenReviews'),
  row(
    'access.failedSignInsPerMinute',
    'FAILED_SIGN_INS_PER_MINUTE',
    count(1_000_000),
    String(FAILED_SIGN_INS_PER_MINUTE),
    'calls without a good sign-in that one address (of IPv6 its /64 network) may make in a minute; probes, workers and tokens that were good before are not held up',
  ),
  ...Object.entries(DEFAULT_LIMITS).map(([name, value]) =>
    row(`limits.${name}`, `LIMITS_${upperSnake(name)}`, count(1_000_000), String(value), 'for each tenant'),
  ),
];

export interface ConfigSources {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** YAML or JSON; JSIGR_CONFIG in the environment unless told. */
  readonly file?: string | undefined;
  /** Text by the place that it would have in the file, as `--set` gives it. */
  readonly given?: Readonly<Record<string, string>> | undefined;
}

/**
 * A gateway's options: of what is given, else of the environment, else of the file.
 * @throws JsigrError INVALID_ARGUMENT with a violation for each setting that is wrong or not known, by its variable or its place in the file
 */
export async function readConfig({ environment, file, given = {} }: ConfigSources): Promise<Partial<GatewayOptions>> {
  const path = file ?? (environment.JSIGR_CONFIG || undefined);
  const fromFile = path === undefined ? {} : flat(await readYaml(path));
  const violations: Violation[] = [];
  const known = new Set(settings.map((setting) => setting.path));
  for (const place of Object.keys(fromFile))
    if (!known.has(place) && !settings.some(({ path: each }) => place.startsWith(`${each}.`)))
      violations.push({ field: place, description: `is not a setting (${path}); docs/configuration.md has all` });
  for (const place of Object.keys(given))
    if (!known.has(place))
      violations.push({ field: place, description: 'is not a setting; docs/configuration.md has all' });
  const options: Record<string, unknown> = {};
  for (const { path: place, variable, schema } of settings) {
    const inEnvironment = environment[variable] || undefined;
    const value = given[place] ?? inEnvironment ?? at(fromFile, place);
    if (value === undefined) continue;
    const checked = check(schema, value);
    const isOfEnvironment = given[place] === undefined && inEnvironment !== undefined;
    if ('wrong' in checked) violations.push({ field: isOfEnvironment ? variable : place, description: checked.wrong });
    else put(options, place.split('.'), checked.value);
  }
  violations.push(...incomplete(options as Partial<GatewayOptions>));
  if (violations.length > 0) throw invalidArgument(violations);
  return options as Partial<GatewayOptions>;
}

function check(schema: z.ZodType, given: unknown): { value: unknown } | { wrong: string } {
  try {
    const parsed = schema.safeParse(given);
    return parsed.success
      ? { value: parsed.data }
      : { wrong: parsed.error.issues.map(({ message }) => message).join('; ') };
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : String(error) };
  }
}

/** Settings that make no sense without another one. */
function incomplete({ access, artefacts, s3 }: Partial<GatewayOptions>): Violation[] {
  const missing = (field: string, what: unknown) => (what ? [] : [{ field, description: 'is missing' }]);
  return [
    ...(s3 ? missing('artefacts', artefacts) : []),
    ...(access?.oidc ? missing('access.oidc.issuer', access.oidc.issuer) : []),
    ...(access?.oidc ? missing('access.oidc.audience', access.oidc.audience) : []),
    ...(access?.kubernetes ? missing('access.kubernetes.roles', access.kubernetes.roles) : []),
  ];
}

/** The settings for people, secrets left out. */
export function shownConfig(options: Partial<GatewayOptions>): Record<string, unknown> {
  const values = flat(options);
  const shown: Record<string, unknown> = {};
  for (const { path, secret } of settings) {
    const value = at(values, path);
    if (value !== undefined) put(shown, path.split('.'), secret ? '(secret)' : value);
  }
  return shown;
}

const MOST_BYTES = 1024 * 1024;

async function readYaml(path: string): Promise<unknown> {
  const wrong = (description: string) => invalidArgument('config', `${path}: ${description}`);
  const bytes = await readFile(path).catch((error: Error) => {
    throw wrong(error.message);
  });
  // Few gateways have a file, and what reads it is seventy modules.
  const { parse } = await import('yaml');
  if (bytes.length > MOST_BYTES) throw wrong(`has ${bytes.length} bytes, at most ${MOST_BYTES} are read`);
  try {
    return parse(bytes.toString(), { maxAliasCount: 0, logLevel: 'error' });
  } catch (error) {
    throw wrong(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
  }
}

/** `{ tls: { ca: x } }` as `{ 'tls.ca': x }`. */
function flat(value: unknown, prefix = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return prefix ? { [prefix]: value } : {};
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, each]) => flat(each, prefix ? `${prefix}.${key}` : key)),
  );
}

/** What lies at a place, or, where the value is a table itself, below it. */
function at(values: Readonly<Record<string, unknown>>, place: string): unknown {
  if (Object.hasOwn(values, place)) return values[place];
  const below = Object.entries(values).filter(([key]) => key.startsWith(`${place}.`));
  return below.length > 0
    ? Object.fromEntries(below.map(([key, value]) => [key.slice(place.length + 1), value]))
    : undefined;
}

function put(target: Record<string, unknown>, [first = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) target[first] = value;
  else {
    target[first] ??= {};
    put(target[first] as Record<string, unknown>, rest, value);
  }
}

function upperSnake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** The settings in Markdown. */
export function configDocument(): string {
  const cell = (words: string) => words.replaceAll('|', '\\|');
  return [
    '# Settings of a gateway',
    '',
    'Written by the tests from `gateway/src/config.ts`. Of a YAML or JSON file (`jsigr up --config FILE`, or `JSIGR_CONFIG`), of the environment, or of the command (`jsigr up --set limits.activeRuns=4`); the later ones count.',
    '`jsigr config check` says what is wrong with them, and shows what a gateway would take.',
    '',
    '| in the file | in the environment | unless told | |',
    '| --- | --- | --- | --- |',
    ...settings.map(
      ({ path, variable, fallback, meaning }) =>
        `| \`${path}\` | \`${variable}\` | ${cell(fallback)} | ${cell(meaning)} |`,
    ),
    '',
  ].join('\n');
}
