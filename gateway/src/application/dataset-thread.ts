/** The thread that makes and reads datasets. */
import { type Dataset, DatasetError, encodeDataset, importers, knownDatasets, splitStatistics } from '@jsigr/datasets';
import { movable, serveCompute, transferring } from '@jsigr/service/compute';
import type { DatasetMethods, MadeDataset } from './dataset-methods.ts';

serveCompute<DatasetMethods>({
  async make(name) {
    const known = Object.hasOwn(knownDatasets, name) ? knownDatasets[name] : undefined;
    if (!known) throw new DatasetError('INVALID_OPTION', 'name', `${name} is not embedded`);
    return madeOf(known.make());
  },
  async read({ id, format, directory }) {
    const importer = Object.hasOwn(importers, format) ? importers[format] : undefined;
    if (!importer) throw new DatasetError('INVALID_OPTION', 'format', `${format} is not known`);
    return madeOf({ ...(await importer.read(directory)), name: id });
  },
});

function madeOf(dataset: Dataset): MadeDataset {
  const { files, buffers } = movable(encodeDataset(dataset));
  const parts = (['train', 'test'] as const).map((name) => {
    const { count, perClass, mean, deviation } = splitStatistics(dataset[name], dataset);
    return {
      name,
      count,
      classCounts: [...perClass],
      mean: [...mean],
      standardDeviation: [...deviation],
      hasMasks: dataset[name].masks !== undefined,
    };
  });
  return transferring({ files, input: [...dataset.input], classNames: [...dataset.classes], parts }, buffers);
}
