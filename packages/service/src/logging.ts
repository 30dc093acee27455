import type { LoggerService } from '@nestjs/common';
import { destination, type Logger, pino } from 'pino';

export type { Logger };

/** Nobody logs these on purpose; should it happen, they are left out. */
const SECRETS = ['token', 'authorization', 'databaseUrl', 'followerToken', 'trainerToken'].flatMap((name) => [
  name,
  `*.${name}`,
]);

/** Structured lines on standard error. Level: JSIGR_LOG_LEVEL (trace, debug, info, warn, error, fatal, silent), or else warn. */
export function createLogger(name: string, level: string = process.env.JSIGR_LOG_LEVEL || 'warn'): Logger {
  const known = level in pino.levels.values || level === 'silent';
  const options = { name, level: known ? level : 'warn', redact: { paths: SECRETS, censor: '(secret)' } };
  const logger = pino(options, destination({ fd: 2, sync: true }));
  if (!known)
    logger.warn({ level }, 'JSIGR_LOG_LEVEL is none of trace, debug, info, warn, error, fatal, silent: taking warn');
  return logger;
}

/** NestJS' own messages, through the same logger; what it calls `log` is `debug` here. */
export function nestLogger(logger: Logger): LoggerService {
  const at =
    (level: 'error' | 'warn' | 'debug' | 'trace') =>
    (message: unknown, ...rest: unknown[]) =>
      logger[level]({ context: rest.at(-1) }, message instanceof Error ? message.message : String(message));
  return { log: at('debug'), error: at('error'), warn: at('warn'), debug: at('debug'), verbose: at('trace') };
}
