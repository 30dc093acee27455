import { createLogger, exitCodeOf, JsigrError, onShutdown } from '@jsigr/service';
import { gatewayOptions } from './environment.ts';
import { startGateway } from './start-gateway.ts';

const log = createLogger('gateway', process.env.JSIGR_LOG_LEVEL || 'info');
try {
  const gateway = await startGateway({ ...gatewayOptions(process.env), log });
  onShutdown(() => gateway.close());
} catch (error) {
  const { message, reason, hint } = JsigrError.from(error);
  log.fatal({ reason, hint }, message);
  process.exit(exitCodeOf(error));
}
