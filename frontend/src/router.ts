import { createRouter, createWebHashHistory } from 'vue-router';
import { transactions, users } from './pages/accounts';
import { items } from './pages/items';
import { pairs } from './pages/kv';
import LivePage from './pages/LivePage.vue';
import ResourcePage from './pages/ResourcePage.vue';
import ShopPage from './pages/ShopPage.vue';
import { tasks } from './pages/tasks';

/** After the #, because the paths themselves are the API's. */
export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: '/', name: 'live', component: LivePage },
    ...[items, pairs, tasks, users, transactions].map((resource) => ({
      path: `/${resource.name}`,
      name: resource.name,
      component: ResourcePage,
      props: { resource },
    })),
    { path: '/shop', name: 'shop', component: ShopPage },
    { path: '/:rest(.*)', redirect: '/' },
  ],
});
