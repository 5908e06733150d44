import Sequencer from '@jest/test-sequencer';

/** Those that take minutes come first, or one of them is left to run alone at the end. (Jest knows only the sizes of files on a clean clone.) */
const SLOW = [
  'stack/operations',
  'stack/monitoring',
  'coherence/coherence',
  'stack/start',
  'failover/',
  'coherence/variants',
];

export default class SlowFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const at = SLOW.findIndex((part) => path.includes(`/test/${part}`));
      return at === -1 ? SLOW.length : at;
    };
    return super.sort(tests).sort((one, other) => rank(one) - rank(other));
  }
}
