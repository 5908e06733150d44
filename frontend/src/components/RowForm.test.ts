import { flushPromises, mount } from '@vue/test-utils';
import { beforeAll, expect, test, vi } from 'vitest';
import { Failure, type Problem } from '../api/client';
import { i18n } from '../i18n';
import type { Resource } from '../resource';
import RowForm from './RowForm.vue';

// happy-dom has the element, not all of its methods.
beforeAll(() => {
  HTMLDialogElement.prototype.showModal ??= () => {};
});

const problem = (status: number, errors?: Problem['errors']): Problem => ({
  type: 'about:blank',
  title: 'No',
  status,
  detail: 'no',
  request_id: 'r1',
  ...(errors && { errors }),
});

const resource: Resource = {
  name: 'tasks',
  key: 'id',
  columns: [],
  fields: [
    { name: 'title', kind: 'line', required: true },
    { name: 'description', kind: 'text' },
  ],
  list: async () => ({ body: [], etag: undefined, next: undefined }),
};

function open(own: Partial<Resource>, props: object = {}) {
  return mount(RowForm, { props: { resource: { ...resource, ...own }, ...props }, global: { plugins: [i18n] } });
}

test('a message of the API stands beside its field', async () => {
  const create = vi
    .fn()
    .mockRejectedValue(new Failure(problem(422, [{ in: 'body', path: 'title', message: 'is wrong' }])));
  const form = open({ create });
  await form.find('form').trigger('submit');
  await flushPromises();
  const input = form.find('input');
  expect(input.attributes('aria-invalid')).toBe('true');
  expect(form.get(`#${CSS.escape(input.attributes('aria-describedby') ?? '')}`).text()).toBe('is wrong');
  expect(form.find('[role=alert]').exists()).toBe(false);
});

test('what fits no field is said above them', async () => {
  const form = open({ create: vi.fn().mockRejectedValue(new Failure(problem(503))) });
  await form.find('form').trigger('submit');
  await flushPromises();
  expect(form.get('[role=alert]').text()).toContain('503');
});

test('the same input sent again bears the same name, another one another', async () => {
  const create = vi.fn().mockRejectedValue(new Failure(problem(503)));
  const form = open({ create });
  const submit = async (title: string) => {
    await form.find('input').setValue(title);
    await form.find('form').trigger('submit');
    await flushPromises();
    return create.mock.lastCall?.[1]['Idempotency-Key'];
  };
  const first = await submit('a');
  expect(await submit('a')).toBe(first);
  expect(await submit('b')).not.toBe(first);
});

test('a row that somebody else has changed: both are shown, and mine is stored on top of theirs when I say so', async () => {
  const update = vi
    .fn()
    .mockRejectedValueOnce(new Failure(problem(412)))
    .mockResolvedValue(undefined);
  const read = async () => ({ body: { id: 1, title: 'theirs', description: null }, etag: '"2"', next: undefined });
  const form = open({ update, read }, { row: { id: 1, title: 'old', description: null }, etag: '"1"' });
  await form.find('input').setValue('mine');
  await form.find('form').trigger('submit');
  await flushPromises();
  const conflict = form.get('[data-test=conflict]').text();
  expect(conflict).toContain('mine');
  expect(conflict).toContain('theirs');
  await form.find('form').trigger('submit'); // not over what was only now shown
  await flushPromises();
  expect(update).toHaveBeenCalledTimes(1);
  await form.get('[data-test=conflict] button').trigger('click');
  await flushPromises();
  expect(update.mock.calls.map((call) => call[2]['If-Match'])).toEqual(['"1"', '"2"']);
  expect(update.mock.lastCall?.[1]).toEqual({ title: 'mine' });
  expect(form.emitted('done')).toHaveLength(1);
});
