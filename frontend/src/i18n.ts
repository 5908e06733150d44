import { createI18n } from 'vue-i18n';
import en from './messages/en.json';
import pt from './messages/pt.json';
import { remember, remembered } from './storage';

type Language = 'en' | 'pt';
const KEY = 'language';

function preferred(): Language {
  const kept = remembered(KEY);
  if (kept === 'en' || kept === 'pt') return kept;
  return navigator.language.toLowerCase().startsWith('pt') ? 'pt' : 'en';
}

export const i18n = createI18n({ legacy: false, locale: preferred(), fallbackLocale: 'en', messages: { en, pt } });
document.documentElement.lang = i18n.global.locale.value;

export function speak(language: Language): void {
  i18n.global.locale.value = language;
  document.documentElement.lang = language;
  remember(KEY, language);
}
