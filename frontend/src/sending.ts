import { ref } from 'vue';
import { type Failure, newKey } from './api/client';

/** What a page or a form has under way: one thing at a time, a second click is not taken; and why the last one failed. */
export function useSending() {
  const busy = ref(false);
  const failure = ref<Failure>();
  const keep = (error: Failure): unknown => {
    failure.value = error;
    return undefined;
  };

  /** @param refused what to do about a failure, instead of keeping it */
  async function send(work: () => Promise<unknown>, refused = keep): Promise<void> {
    if (busy.value) return;
    busy.value = true;
    failure.value = undefined;
    try {
      await work();
    } catch (error) {
      await refused(error as Failure);
    } finally {
      busy.value = false;
    }
  }

  return { busy, failure, send };
}

/** One name for one intention: sent again after a lost answer, it is still one write. Another input is another write. */
export function keyPerInput() {
  let sent: string | undefined;
  let key: string;
  return (input: readonly unknown[]): string => {
    const now = JSON.stringify(input);
    if (now !== sent) key = newKey();
    sent = now;
    return key;
  };
}
