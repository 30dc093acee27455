import type { Dataset } from '@jsigr/proto';
import type { ModelFinder } from './models.ts';
import type { Violations } from './violations.ts';

/** Surrogates that a plan names must be there, and take the dataset's images. @returns their full names */
export async function checkSurrogates(
  names: readonly string[],
  field: string,
  dataset: Dataset | undefined,
  models: ModelFinder,
  violations: Violations,
): Promise<string[]> {
  const full = [...names];
  for (const [i, name] of names.entries()) {
    if (!/^models\/[0-9a-f]{8,64}$/.test(name)) continue;
    const model = await models(name, `${field}[${i}]`).catch((error) => violations.addError(`${field}[${i}]`, error));
    if (model) full[i] = model.name;
    if (model?.blackBox) violations.add(`${field}[${i}]`, `${name} has no gradients: ${model.blackBox}`);
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
  return full;
}
