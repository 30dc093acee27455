import type { Metadata } from '@grpc/grpc-js';
import { permissionDenied, unauthenticated } from '@jsigr/service';
import { DEFAULT_TENANT, SHARED_TENANT } from '../store/schema.ts';

/** What somebody may do: each role includes those before it. An admin sees and changes what every tenant has. */
export const roles = ['viewer', 'runner', 'admin'] as const;
export type Role = (typeof roles)[number];

/** Who makes a call. */
export interface Caller {
  /** For logs and the audit log, e.g. `token/ci`. */
  readonly subject: string;
  readonly role: Role | 'worker';
  readonly tenant: string;
}

/** Whoever reaches a gateway that asks nobody to sign in. */
export const LOCAL: Caller = { subject: 'local', role: 'admin', tenant: DEFAULT_TENANT };

/** The part of the gateway that makes runs of custom resources. They belong to nobody in particular: whoever may create them in the namespace was asked by the API server. */
export const OPERATOR: Caller = { subject: 'operator', role: 'admin', tenant: DEFAULT_TENANT };

export function includes(role: Caller['role'], needed: Role): boolean {
  return role !== 'worker' && roles.indexOf(role) >= roles.indexOf(needed);
}

/** Tenants whose things the caller sees; undefined: all. */
export function visibleTenants({ role, tenant }: Caller): readonly string[] | undefined {
  return role === 'admin' ? undefined : [tenant, SHARED_TENANT];
}

/** What is shared belongs to nobody: only admins change it. @throws JsigrError PERMISSION_DENIED */
export function demandOwner({ role, tenant: own }: Caller, tenant: string): void {
  if (role !== 'admin' && tenant !== own)
    throw permissionDenied('NOT_YOURS', 'this is shared by all tenants; only an admin changes it');
}

/** Callers of calls that were admitted. A handler gets the very metadata that was asked about, so nobody can make a caller up. */
const callers = new WeakMap<Metadata, Caller>();

export function rememberCaller(metadata: Metadata, caller: Caller): void {
  callers.set(metadata, caller);
}

export function callerOf(metadata: Metadata): Caller {
  const caller = callers.get(metadata);
  if (caller) return caller;
  throw unauthenticated('UNAUTHENTICATED', 'nobody asked who makes this call');
}
