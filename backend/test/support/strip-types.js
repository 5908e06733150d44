import { createHash } from 'node:crypto';
import { stripTypeScriptTypes } from 'node:module';

/** The same stripping that Node does at run time: types become blanks, so lines and columns stay true in coverage. */
export default {
  canInstrument: false,
  getCacheKey: (source, file) => createHash('sha1').update(process.version).update(file).update(source).digest('hex'),
  process: (source) => ({ code: stripTypeScriptTypes(source) }),
};
