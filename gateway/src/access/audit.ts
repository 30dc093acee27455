import { closeSync, openSync, writeSync } from 'node:fs';
import type { Logger } from '@jsigr/service';
import { failedPrecondition } from '@jsigr/service/client';
import type { Caller } from './caller.ts';
import type { Method } from './table.ts';

/** What is changed without a call: by commands that need no gateway, and by the operator. */
export type Command = 'jsigr tokens create' | 'jsigr tokens revoke' | 'operator suspend' | 'operator resume';

/** Writes down every change: who, what, when. */
export interface Audit {
  record(caller: Caller, method: Method | Command, resource: string): void;
  close(): void;
}

/** @throws JsigrError AUDIT_UNUSABLE */
function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw failedPrecondition(
      'AUDIT_UNUSABLE',
      `the audit log ${path} cannot be written: ${error instanceof Error ? error.message : error}`,
      'every change is written down there: check the file and its owner',
    );
  }
}

/** Lines of JSON at the end of a file that only its owner reads (0600); with the logs too, so that a cluster collects them. */
export function openAudit(path: string, logger?: Logger, now: () => Date = () => new Date()): Audit {
  const file = openLog(path);
  return {
    record({ subject, role, tenant }, method, resource) {
      const entry = { subject, role, tenant, method, resource };
      logger?.info({ audit: 'changed', ...entry }, 'a change');
      try {
        writeSync(file, `${JSON.stringify({ time: now().toISOString(), ...entry })}\n`);
      } catch (error) {
        logger?.error(error, 'the audit log cannot be written; the line before this one is all there is of the change');
      }
    },
    close: () => closeSync(file),
  };
}
