import { status } from '@grpc/grpc-js';
import { failedPrecondition, JsigrError, resourceExhausted } from './errors.ts';

/** What a failing disk becomes: one error that says which folder, and what to do. */
export function storageError(error: unknown, root: string): JsigrError {
  const { code = '', message = String(error) } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code))
    return resourceExhausted(
      'STORE_FULL',
      `the artefact store ${root} is full (${code})`,
      'free space, or choose another data directory',
    );
  if (['EROFS', 'EACCES', 'EPERM', 'ENOTDIR'].includes(code))
    return failedPrecondition(
      'STORE_NOT_WRITABLE',
      `the artefact store ${root} cannot be used: ${message}`,
      'check the folder and its owner, or choose another data directory',
    );
  return new JsigrError({
    code: status.INTERNAL,
    reason: 'STORE_FAILED',
    message: `the artefact store ${root} failed: ${message}`,
    ...(['EMFILE', 'ENFILE'].includes(code) ? { hint: 'raise the limit of open files (ulimit -n)' } : {}),
    cause: error,
  });
}

/** A file's bytes are not what its digest says. */
export function corrupt(artefact: string, path: string): JsigrError {
  return new JsigrError({
    code: status.DATA_LOSS,
    reason: 'ARTEFACT_CORRUPT',
    message: `${path} of ${artefact} is damaged or missing: its bytes are not those of its digest`,
    hint: 'restore it from a backup, or make it again: the same training or import heals it',
  });
}
