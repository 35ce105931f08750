// The words that the model learns, and what each looks like. What is called the same looks the same in every style.

export const GROUNDS = {
  white: 'f7f7f7', 'light blue': 'b6e3f4', pink: 'ffc4d4', lavender: 'cfc8f5', peach: 'ffdfbf', 'mint green': 'b5efcb', yellow: 'ffe06b', gray: 'c4c8ce',
  'dark blue': '27406b', red: 'd9534f', orange: 'f79a4b', teal: '3fa7a0', purple: '8e5cc4', black: '1f1f24', green: '58b368',
};
export const HAIR_COLOURS = {
  black: '1e1a1d', 'dark brown': '4a2f22', brown: '7d4a2b', blonde: 'e6c267', red: 'c93305', gray: 'a9adb3', white: 'f2efe9', pink: 'f58fb0', blue: '3f7fe0',
  green: '3fa45b', purple: '8b4fc9',
};
export const SKINS = { 'pale skin': 'fbdcc4', 'light skin': 'edb98a', 'tan skin': 'd08b5b', 'brown skin': 'a0623b', 'dark skin': '603b28' };
export const CLOTH_COLOURS = {
  red: 'd63b3b', blue: '4a90e2', navy: '25395c', green: '3a9d5d', yellow: 'f2c230', orange: 'f07f2e', pink: 'f77fb0', purple: '7a3fc0', black: '26262b',
  gray: '8d939b', white: 'f3f3f3', teal: '2fa5a5',
};

// A hair shape is [part of the design, words, who wears it mostly: w(oman), m(an), a(nybody)].
// A face is [words for the mood, the design's parts that show it].
// Eyes are words for eyes that are not simply open: [part, words].
// Clothes are [part, words, whether the sleeves let a whole body be drawn beneath].

export const AVATAAARS = {
  hair: [
    ['bob', 'a bob haircut', 'w'], ['bun', 'a hair bun', 'w'], ['curly', 'curly hair', 'w'], ['curvy', 'long wavy hair', 'w'], ['dreads', 'long dreadlocks', 'a'],
    ['fro', 'a big afro', 'a'], ['longButNotTooLong', 'medium-length hair', 'a'], ['miaWallace', 'a bob with bangs', 'w'],
    ['shavedSides', 'long hair with shaved sides', 'a'], ['straight02', 'long straight hair', 'w'], ['straight01', 'long straight hair', 'w'],
    ['straightAndStrand', 'long straight hair', 'w'], ['dreads01', 'short dreadlocks', 'm'], ['frizzle', 'a short quiff', 'm'], ['shaggy', 'shaggy hair', 'a'],
    ['shaggyMullet', 'a mullet', 'm'], ['shortCurly', 'short curly hair', 'm'], ['shortFlat', 'short hair', 'm'], ['shortRound', 'short hair', 'm'],
    ['shortWaved', 'short wavy hair', 'm'], ['sides', 'balding hair', 'm'], ['theCaesar', 'short cropped hair', 'm'],
    ['theCaesarAndSidePart', 'short cropped hair', 'm'], ['bigHair', 'big long hair', 'w'],
  ],
  hats: [['hat', 'hat'], ['hijab', 'hijab'], ['turban', 'turban'], ['winterHat1', 'winter hat'], ['winterHat02', 'knit beanie']],
  faces: [
    ['smiling', { mouth: 'smile', eyebrows: 'defaultNatural' }],
    ['laughing', { mouth: 'smile', eyes: 'happy', eyebrows: 'raisedExcitedNatural' }],
    ['with a gentle smile', { mouth: 'twinkle', eyebrows: 'defaultNatural' }],
    ['with a slight smile', { mouth: 'default', eyebrows: 'defaultNatural' }],
    ['sad', { mouth: 'sad', eyebrows: 'sadConcernedNatural' }],
    ['angry', { mouth: 'serious', eyebrows: 'angryNatural' }],
    ['serious', { mouth: 'serious', eyebrows: 'flatNatural' }],
    ['surprised', { mouth: 'disbelief', eyes: 'surprised', eyebrows: 'raisedExcitedNatural' }],
    ['screaming', { mouth: 'screamOpen', eyebrows: 'raisedExcitedNatural' }],
    ['grimacing', { mouth: 'grimace', eyebrows: 'defaultNatural' }],
    ['sticking out the tongue', { mouth: 'tongue', eyebrows: 'defaultNatural' }],
    ['concerned', { mouth: 'concerned', eyebrows: 'sadConcernedNatural' }],
  ],
  eyes: [['closed', 'eyes closed'], ['wink', 'winking'], ['side', 'looking sideways'], ['hearts', 'heart eyes'], ['squint', 'squinting eyes']],
  accessories: [['round', 'round glasses'], ['prescription02', 'glasses'], ['kurt', 'retro sunglasses'], ['sunglasses', 'sunglasses'], ['eyepatch', 'an eyepatch']],
  beards: [
    ['beardLight', 'a short beard'], ['beardMajestic', 'a long beard'], ['beardMedium', 'a full beard'], ['moustacheFancy', 'a twirled moustache'],
    ['moustacheMagnum', 'a thick moustache'],
  ],
  clothes: [
    ['blazerAndShirt', 'blazer', false], ['blazerAndSweater', 'blazer over a sweater', false], ['collarAndSweater', 'collared sweater', true],
    ['hoodie', 'hoodie', true], ['overall', 'overalls', false], ['shirtCrewNeck', 't-shirt', true], ['shirtScoopNeck', 'scoop neck top', true],
    ['shirtVNeck', 'v-neck shirt', true],
  ],
};

export const TOON_HEAD = {
  hair: [['sideComed', 'side-combed hair', 'm'], ['undercut', 'an undercut', 'm'], ['spiky', 'spiky hair', 'm'], ['bun', 'a hair bun', 'w']],
  rear: [['longStraight', 'long straight hair'], ['longWavy', 'long wavy hair'], ['shoulderHigh', 'shoulder-length hair'], ['neckHigh', 'neck-length hair']],
  faces: [
    ['smiling', { mouth: 'smile', eyebrows: 'neutral' }],
    ['laughing', { mouth: 'laugh', eyebrows: 'happy' }],
    ['sad', { mouth: 'sad', eyebrows: 'sad' }],
    ['angry', { mouth: 'angry', eyebrows: 'angry' }],
    ['surprised', { mouth: 'agape', eyes: 'wide', eyebrows: 'raised' }],
    ['serious', { mouth: 'serious', eyebrows: 'neutral' }],
  ],
  eyes: [['bow', 'happy eyes'], ['humble', 'eyes closed'], ['wink', 'winking'], ['wide', 'wide eyes']],
  accessories: [['round', 'round glasses'], ['square', 'glasses'], ['dark', 'sunglasses']],
  beards: [
    ['moustacheTwirl', 'a twirled moustache'], ['fullBeard', 'a full beard'], ['chin', 'a goatee'], ['chinMoustache', 'a goatee and moustache'],
    ['longBeard', 'a long beard'],
  ],
  clothes: [
    ['turtleNeck', 'turtleneck', true], ['openJacket', 'open jacket', false], ['dress', 'tank top', false], ['shirt', 'collared shirt', true],
    ['tShirt', 't-shirt', true],
  ],
};

export const OPEN_PEEPS = {
  // In this design most heads of hair are black ink, and only these take a colour.
  hair: [
    ['bangs', 'long hair with bangs', 'w'], ['grayBun', 'a hair bun', 'w'], ['grayMedium', 'a low bun', 'w'], ['grayShort', 'short hair', 'm'],
    ['mediumBangs2', 'curly hair with bangs', 'w'], ['mohawk', 'a mohawk', 'm'], ['short4', 'tousled short hair', 'm'],
  ],
  inkHair: [
    ['afro', 'an afro', 'a'], ['longCurly', 'long wavy hair', 'w'], ['short1', 'short hair', 'm'], ['flatTop', 'a flat top', 'm'], ['medium1', 'a bob haircut', 'w'],
    ['longBangs', 'long hair with bangs', 'w'], ['dreads1', 'short dreadlocks', 'a'], ['pomp', 'a pompadour', 'm'], ['bantuKnots', 'bantu knots', 'w'],
    ['mediumStraight', 'long straight hair', 'w'],
  ],
  faces: [
    ['smiling', { face: 'smile' }], ['laughing', { face: 'smileBig' }], ['serious', { face: 'serious' }], ['calm', { face: 'calm', looks: 'happy eyes' }],
    ['angry', { face: 'veryAngry' }], ['surprised', { face: 'awe', looks: 'wide eyes' }], ['sad', { face: 'solemn' }], ['concerned', { face: 'concerned' }],
    ['talking', { face: 'explaining' }], ['tired', { face: 'tired' }], ['laughing', { face: 'lovingGrin1', looks: 'heart eyes' }],
    ['serious', { face: 'eyesClosed', looks: 'eyes closed' }],
  ],
  accessories: [['glasses2', 'round glasses'], ['glasses3', 'glasses'], ['sunglasses', 'sunglasses'], ['eyepatch', 'an eyepatch']],
  beards: [['full', 'a full beard'], ['goatee1', 'a goatee'], ['moustache5', 'a moustache'], ['full3', 'a long beard']],
};

export const MICAH = {
  hair: [
    ['fonze', 'a pompadour', 'm'], ['mrT', 'a mohawk', 'm'], ['dannyPhantom', 'a side fringe', 'a'], ['full', 'long wavy hair', 'w'], ['pixie', 'a bob haircut', 'w'],
  ],
  faces: [
    ['smiling', { mouth: 'smile', eyebrows: 'up' }],
    ['laughing', { mouth: 'laughing', eyebrows: 'up' }],
    ['surprised', { mouth: 'surprised', eyes: 'wide', eyebrows: 'raised' }],
    ['grimacing', { mouth: 'nervous', eyebrows: 'down' }],
    ['sad', { mouth: 'frown', eyebrows: 'down' }],
    ['angry', { mouth: 'frown', eyebrows: 'angry' }],
    ['serious', { mouth: 'serious', eyebrows: 'up' }],
  ],
  eyes: [['smiling', 'happy eyes'], ['closed', 'eyes closed'], ['wink', 'winking']],
  accessories: [['round', 'round glasses'], ['square', 'glasses'], ['dark', 'sunglasses']],
  beards: [['beard', 'a full beard'], ['scruff', 'stubble']],
  clothes: [['open', 'scoop neck top', true], ['crew', 'collared sweater', true], ['collared', 'collared shirt', true]],
};
