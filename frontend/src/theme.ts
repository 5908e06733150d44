import { ref } from 'vue';
import { remember, remembered } from './storage';

type Theme = 'light' | 'dark';
const KEY = 'theme';
const system = matchMedia('(prefers-color-scheme: dark)');

const kept = () => remembered(KEY) as Theme | undefined;
export const theme = ref<Theme>(kept() ?? (system.matches ? 'dark' : 'light'));

/** Bootstrap reads it from here. */
function show(): void {
  document.documentElement.dataset.bsTheme = theme.value;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  remember(KEY, next);
  show();
}

system.addEventListener('change', ({ matches }) => {
  if (kept()) return;
  theme.value = matches ? 'dark' : 'light';
  show();
});
show();
