import { invalidArgument } from '@jsigr/service';

export const DEFAULT_PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = 1000;

export interface PageRequest {
  /** 1..1000; 0: 50. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** What a page starts after, and how long it is. A token belongs to one list (`scope`): elsewhere it is refused. */
export interface PageStart {
  readonly limit: number;
  /** Numbers below this one; absent on the first page. */
  readonly below?: number;
}

/** @throws JsigrError INVALID_ARGUMENT for pageSize or pageToken. */
export function pageStart(scope: string, { pageSize, pageToken }: PageRequest): PageStart {
  if (!Number.isInteger(pageSize) || pageSize < 0 || pageSize > MAX_PAGE_SIZE)
    throw invalidArgument('pageSize', `${pageSize} given, 1..${MAX_PAGE_SIZE} allowed (0: ${DEFAULT_PAGE_SIZE})`);
  const limit = pageSize || DEFAULT_PAGE_SIZE;
  if (!pageToken) return { limit };
  const [found, number] = Buffer.from(pageToken, 'base64url').toString().split(' ');
  if (found !== scope || !/^[1-9]\d{0,15}$/.test(number ?? ''))
    throw invalidArgument('pageToken', 'is not a token that this list gave; begin again without one');
  return { limit, below: Number(number) };
}

/** The page of rows that were fetched with `limit + 1`, newest first. */
export function pageOf<Row extends { number: number }, T>(
  scope: string,
  rows: readonly Row[],
  limit: number,
  convert: (row: Row) => T,
): Page<T> {
  const kept = rows.slice(0, limit);
  const last = rows.length > limit ? kept.at(-1) : undefined;
  return {
    items: kept.map(convert),
    nextPageToken: last ? Buffer.from(`${scope} ${last.number}`).toString('base64url') : '',
  };
}
