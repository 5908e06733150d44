import { ref } from 'vue';

/** What the routes for administrators ask for. Only in memory: gone with the page, and no script finds it later. */
export const adminToken = ref('');

export const asAdmin = (headers: Record<string, string>) => ({
  ...headers,
  Authorization: `Bearer ${adminToken.value}`,
});
