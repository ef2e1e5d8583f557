/** Why a bundle or a text is refused. The message is a whole sentence, to be shown as it is. */
export class Refused extends Error {
  override name = "Refused";
}
