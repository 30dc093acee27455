import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { served } from './admission.ts';

export interface HttpRoute {
  /** E.g. `POST /v1/trainingRuns/:id\:cancel`. */
  readonly route: string;
  /** Name of its rule in the access table; empty: it has none, and is refused. */
  readonly serves: string;
}

/** Every route of these controllers. */
export function routesOf(controllers: readonly Type[]): HttpRoute[] {
  return controllers.flatMap((controller) => {
    const prefix = String(Reflect.getMetadata(PATH_METADATA, controller));
    const members = Object.getOwnPropertyNames(controller.prototype).map((name) => controller.prototype[name]);
    return members
      .filter((member) => typeof member === 'function' && Reflect.hasMetadata(METHOD_METADATA, member))
      .map((handler) => {
        const verb = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler)];
        const path = [prefix, String(Reflect.getMetadata(PATH_METADATA, handler))].filter((part) => part !== '/');
        return { route: `${verb} /${path.join('/')}`, serves: served(handler) };
      });
  });
}
