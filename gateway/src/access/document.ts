import type { HttpRoute } from '../http/routes.ts';
import { type AccessRule, tenantRules } from './table.ts';

/** The access table for people, in Markdown. */
export function documentOf(table: Readonly<Record<string, AccessRule>>, routes: readonly HttpRoute[]): string {
  const rows = Object.entries(table).map(([method, { needs, tenant, changes }]) => {
    const served = routes
      .filter(({ serves }) => serves === method)
      .map(({ route }) => `\`${route.replace('\\', '')}\``);
    const shown = method.replace('jsigr.v1.', '');
    return `| \`${shown}\` | ${served.join('<br>')} | ${needs} | ${tenant} | ${changes ? 'yes' : ''} |`;
  });
  return [
    '# Who may call what',
    '',
    'Written by the tests from `gateway/src/access/table.ts`, which the gateway obeys; a method or a route that is not in it is refused.',
    'Each role includes those before it: viewer, runner, admin. `nobody`: no sign-in is needed. `worker`: a worker that the gateway started.',
    '',
    '| tenant | |',
    '| --- | --- |',
    ...Object.entries(tenantRules).map(([name, meaning]) => `| ${name} | ${meaning} |`),
    '',
    '| gRPC | HTTP | needs | tenant | audited |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
