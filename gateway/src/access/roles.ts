import { type Role, roles } from './caller.ts';

/** Groups, users or claims, and the role that each stands for. */
export type RoleMap = Readonly<Record<string, Role>>;

/** The highest role that any of the names stands for. */
export function roleFrom(map: RoleMap, names: readonly string[]): Role | undefined {
  const found = names.filter((name) => Object.hasOwn(map, name)).map((name) => map[name]);
  return roles.findLast((role) => found.includes(role));
}
