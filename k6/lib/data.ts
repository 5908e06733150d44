/** Bodies that the API accepts. What the scripts make is named "k6 …", so that it can be told apart. */

const random = (below: number): number => Math.floor(Math.random() * below);
/** One of 1 to n. */
export const oneOf = (n: number): number => 1 + random(n);
export const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
export const text = (length: number): string => Array.from({ length }, () => letters[random(letters.length)]).join('');

export const newItem = () => ({ title: `k6 ${text(12)}`, description: text(80) });
export const newTask = () => ({ title: `k6 ${text(12)}` });
export const newUser = () => ({
  nome: `k6 ${text(8)}`,
  email: `k6-${text(20).toLowerCase()}@example.com`,
  limite: 1000,
});
export const customer = () => ({ name: 'k6', email: 'k6@example.com', address: `Rua ${oneOf(999)}` });
