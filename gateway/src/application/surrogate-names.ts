import type { Dataset } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import type { Models } from './models.ts';
import type { Violations } from './violations.ts';

/** Surrogates that a plan names must be there, and take the dataset's images. */
export async function checkSurrogates(
  names: readonly string[],
  field: string,
  dataset: Dataset | undefined,
  models: Models,
  violations: Violations,
): Promise<void> {
  for (const [i, name] of names.entries()) {
    if (!/^models\/[0-9a-f]{8,64}$/.test(name)) continue;
    const model = await models.byName(name, `${field}[${i}]`).catch((error) => {
      violations.add(`${field}[${i}]`, JsigrError.from(error).message.replace(`${field}[${i}]: `, ''));
    });
    if (model && dataset && model.input.join() !== dataset.input.join())
      violations.add(
        `${field}[${i}]`,
        `${name} takes images of [${model.input}], the dataset's are [${dataset.input}]`,
      );
    if (model && dataset && model.classes !== dataset.classNames.length)
      violations.add(
        `${field}[${i}]`,
        `${name} tells ${model.classes} classes apart, the dataset has ${dataset.classNames.length}`,
      );
  }
}
